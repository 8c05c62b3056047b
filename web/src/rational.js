// Exact fractions of BigInt: [numerator, denominator], denominator above 0, lowest terms.
import { require } from "./rejected.js";

const UNSIGNED = /^(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;

export const abs = (x) => (x < 0n ? -x : x);
export const max = (...values) => values.reduce((a, b) => (b > a ? b : a));
export const min = (...values) => values.reduce((a, b) => (b < a ? b : a));
export const floorDivide = (a, b) => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
export const ceilDivide = (a, b) => -floorDivide(-a, b);
export const gcd = (a, b) => (b ? gcd(b, a % b) : abs(a));
export const mod = (a, m) => {
  const rest = a % m;
  return rest < 0n ? rest + m : rest;
};
export const bitLength = (x) => BigInt(x === 0n ? 0 : x.toString(2).length);

export function fraction(num, den) {
  require(den !== 0n, "a denominator of 0");
  const common = gcd(num, den) * (den < 0n ? -1n : 1n);
  return [num / common, den / common];
}

/** Of a decimal without a sign. */
export function ofDecimal(literal, what) {
  require(typeof literal === "string" && literal.length <= 60 && UNSIGNED.test(literal), `${what}: not a decimal`);
  const [whole, part = ""] = literal.split(".");
  return fraction(BigInt(whole + part), 10n ** BigInt(part.length));
}

export const ratioText = ([num, den]) => (den === 1n ? `${num}` : `${num}/${den}`);

/** The ceiling of the square root. */
export function rootAbove(square) {
  if (square < 2n) return square;
  let x = 1n << ((bitLength(square) + 1n) / 2n);
  for (;;) {
    const y = (x + square / x) / 2n;
    if (y >= x) break;
    x = y;
  }
  return x * x === square ? x : x + 1n;
}
