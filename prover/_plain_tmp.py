from crypto.domain import Domain, divide_by_linear as _div, evaluate as _ev
from crypto import field as F
from crypto.field import r
from_ints=lambda xs:[x%r for x in xs]
to_ints=lambda v:list(v)
add=lambda a,b:[(x+y)%r for x,y in zip(a,b,strict=True)]
sub=lambda a,b:[(x-y)%r for x,y in zip(a,b,strict=True)]
mul=lambda a,b:[x*y%r for x,y in zip(a,b,strict=True)]
scale=lambda a,c:[x*c%r for x in a]
add_scaled=lambda a,b,c:[(x+y*c)%r for x,y in zip(a,b,strict=True)]
batch_inverse=F.batch_inverse
ntt=lambda v:Domain.of(len(v)).ntt(v)
intt=lambda v:Domain.of(len(v)).intt(v)
def coset_ntt(c,size,shift): return Domain.of(size).ntt([x*p%r for x,p in zip(c,F.powers(shift,len(c)))])
def coset_intt(e,shift):
    c=Domain.of(len(e)).intt(e); return [x*p%r for x,p in zip(c,F.powers(F.inverse(shift),len(c)))]
def divide_by_linear(c,z): return _div(c,z)
evaluate=_ev
