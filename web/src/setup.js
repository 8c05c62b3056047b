// The Ethereum KZG ceremony's setup, as far as a verifier needs it: digest, number of powers, [tau]_2 (x.c0, x.c1, y.c0, y.c1).
// A test compares this with the file that ships.
export const SETUP = {
  name: "ethereum-kzg-4096",
  digest: "fb12c4dba024a4deb0a6b95566635ed09914f59326eef3d7b860df39d8f97d9e",
  powers: 4096,
  tau: [
    0x185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2n,
    0x15bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72n,
    0x014353bdb96b626dd7d5ee8599d1fca2131569490e28de18e82451a496a9c9794ce26d105941f383ee689bfbbb832a99n,
    0x1666c54b0a32529503432fcae0181b4bef79de09fc63671fda5ed1ba9bfa07899495346f3d7ac9cd23048ef30d0a154fn,
  ],
};
