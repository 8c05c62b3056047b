// What documents must look like: small combinators, each throws Rejected naming the place.
import { require } from "./rejected.js";

export const DECIMAL = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,3})?Z$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}$/;

/** An object with exactly these keys. */
export function object(keys) {
  return (value, place) => {
    require(value !== null && typeof value === "object" && !Array.isArray(value), `${place}: not an object`);
    for (const key of Object.keys(value)) require(Object.hasOwn(keys, key), `${place}: the key ${JSON.stringify(key.slice(0, 60))} is not known`);
    for (const [key, check] of Object.entries(keys)) {
      require(Object.hasOwn(value, key), `${place}: ${key} is missing`);
      check(value[key], `${place}.${key}`);
    }
  };
}

export const list = (check, least = 0, most = Infinity) => (value, place) => {
  require(Array.isArray(value) && value.length >= least && value.length <= most, `${place}: not a list of ${least} to ${most}`);
  value.forEach((item, i) => check(item, `${place}[${i}]`));
};

export const integer = (least, most) => (value, place) =>
  require(typeof value === "bigint" && value >= BigInt(least) && value <= BigInt(most), `${place}: not an integer from ${least} to ${most}`);

export const string = (pattern, most = 200, least = 0) => (value, place) =>
  require(typeof value === "string" && [...value].length >= least && [...value].length <= most && (!pattern || pattern.test(value)), `${place}: not a text of its form`);

export const boolean = (value, place) => require(typeof value === "boolean", `${place}: not true or false`);
export const optional = (check) => (value, place) => value === null || check(value, place);
export const literal = (...choices) => (value, place) => require(choices.includes(value), `${place}: not one of ${choices.join(", ")}`);
export const anything = () => undefined;
export const hex = (bytes) => string(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), 2 * bytes);
export const name = string(NAME, 80);
export const decimal = string(DECIMAL, 60);

export const time = (value, place) => {
  require(typeof value === "string" && TIME.test(value), `${place}: not a time in UTC`);
  milliseconds(value, place);
};

/** Milliseconds since 1970 of a time that is one: no 30 February. */
export function milliseconds(value, place) {
  const found = Date.parse(value);
  require(Number.isFinite(found) && new Date(found).toISOString().slice(0, 19) === value.slice(0, 19), `${place}: not a time in UTC`);
  return found;
}
