// A verdict: the check that failed and why. Everything that is wrong with a file or a proof is thrown as this.
export class Rejected extends Error {}

/** Throws Rejected with the reason unless the condition holds. */
export function require(condition, reason) {
  if (!condition) throw new Rejected(reason);
}
