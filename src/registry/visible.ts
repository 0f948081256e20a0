import type { Json } from '../protocol/index.js';

/**
 * Text as a person can trust it: whatever has no shape of its own, or makes the rest look otherwise, is spelled out as
 * `\u{200B}`. Line feeds and plain spaces stay. Text that looks like such a spelling is told apart by a second backslash.
 */
export const visible = (text: string): string =>
  text.replace(/\\(?=u\{)/g, '\\\\').replace(UNSEEN, (character) => `\\u{${codeOf(character)}}`);

/**
 * Every character that is no letter, mark on a letter, number, sign or plain space that a reader would see. U+2800 and U+1D159
 * are signs that draw nothing; of marks, those with nothing to stand on, and those that are piled over the lines around them.
 */
export const UNSEEN =
  /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1D159}]|(?! )\p{Zs}|(?<![\p{L}\p{M}\p{N}\p{P}\p{S}])\p{M}|(?<=\p{M}{4})\p{M}/gu;

/** A list of JSON; Array.isArray alone forgets of what. */
export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** Whole characters: no half of a surrogate pair. */
export const charactersOf = (text: string): readonly string[] => Array.from(text);

export const codeOf = (character: string): string =>
  (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
