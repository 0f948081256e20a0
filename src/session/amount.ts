import { Amount, type Json } from '../protocol/index.js';

/** Millionths, so that nothing is ever rounded. */
const PLACES = 6;

/** An {@link Amount} in millionths. */
export function millionthsOf(amount: string): bigint {
  const [whole = '0', fraction = ''] = amount.split('.');
  return BigInt(whole + fraction.padEnd(PLACES, '0'));
}

/** The shortest {@link Amount} of so many millionths. */
export function amountOf(millionths: bigint): string {
  const digits = String(millionths).padStart(PLACES + 1, '0');
  const [whole, fraction] = [digits.slice(0, -PLACES), digits.slice(-PLACES).replace(/0+$/, '')];
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

/** A double keeps every decimal of so many digits apart from every other. */
const EXACT_DIGITS = 15;

/**
 * What an argument of a call names, in millionths; `undefined` for what is no exact, unsigned decimal. `minorUnits`: how
 * many places the number that stands there is ahead of the currency, two for cents.
 */
export function readAmount(value: Json | undefined, minorUnits: number): bigint | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !Amount.safeParse(text).success) return undefined;
  if (typeof value === 'number' && text.replace(/\D/g, '').length > EXACT_DIGITS) return undefined;
  const [all, unit] = [millionthsOf(text), 10n ** BigInt(minorUnits)];
  return all % unit === 0n ? all / unit : undefined;
}
