import { UNSEEN } from './visible.js';

/** A place in a text that speaks to the model. */
export type Instruction = Readonly<{ at: number; about: string }>;

const SUSPECTS: readonly (readonly [RegExp, string])[] = [
  [
    /\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:previous|prior|earlier|above|preceding|other|all|any|your)\b.{0,30}\b(?:instruction|prompt|rule|guideline|direction|message|polic(?:y|ies))/,
    'tells the model to leave its instructions',
  ],
  [
    /\b(?:do not|don't|dont|never|must not|without)\b.{0,20}\b(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|reveal(?:ing)?|show(?:ing)?|notify(?:ing)?|alert(?:ing)?|ask(?:ing)?|disclos(?:e|ing))\b.{0,30}\b(?:user|person|human|anyone|anybody|them|him|her)\b/,
    'tells the model to hide something from the person',
  ],
  [
    /<\/?\s*(?:important|system|secret|instruction|instructions|hidden|critical|admin|assistant|user)\b[^<>]{0,40}>/,
    'a mark-up that models take for orders',
  ],
  [
    /\b(?:system prompt|developer message|jailbreak|you are now|new instructions?)\b/,
    'speaks of the instructions of the model',
  ],
  [
    /\b(?:before|after|when|whenever|instead of)\b.{0,20}\b(?:using|calling|invoking|use|call|invoke)\b.{0,20}\b(?:this|any|other|another|the|every)\b.{0,20}\btools?\b/,
    'tells the model what to do about tools',
  ],
  [
    /\b(?:you|model|assistant|agent)\b.{0,10}\b(?:must|should|have to|need to|are required to)\b.{0,10}\b(?:always|first|also|never|read|send|call|include|pass)\b/,
    'gives orders to the model',
  ],
  [
    /(?:~\/|\/)\.(?:ssh|aws|env|gnupg|kube|netrc|cursor|config)\b|\bid_rsa\b|\bid_ed25519\b|\/etc\/(?:passwd|shadow)|\bmcp\.json\b|\.env\b/,
    'names a file that holds secrets',
  ],
  [
    /\b(?:read|send|include|pass|provide|attach|copy|upload|forward|append|paste|insert|exfiltrate)\b.{0,40}\b(?:password|passphrase|secret|api[ _-]?key|access[ _-]?token|credential|private key|conversation|chat history|environment variable|file contents?|contents? of)/,
    'asks for secrets, files or the conversation',
  ],
  [/\bhttps?:\/\/|\bwss?:\/\/|\bdata:[a-z]+\/|\bjavascript:/, 'an address'],
  [/!\[[^\]]{0,80}\]\(|<!--|<img\b|<script\b|<iframe\b/, 'mark-up that a client may render'],
  [/\b[a-z0-9+/]{60,}={0,2}/, 'a long text that may be encoded'],
];

/**
 * Text that speaks to the model rather than about the tool. It is looked for in what a model reads: without hidden
 * characters, in plain lower-case letters, on one line.
 */
export function instructionsIn(text: string): readonly Instruction[] {
  const { plain, places } = skeletonOf(text);
  return SUSPECTS.flatMap(([pattern, about]) => {
    const match = pattern.exec(plain);
    return match === null ? [] : [{ at: places[match.index] ?? 0, about }];
  }).sort((one, other) => one.at - other.at);
}

/** `places` has, for each code unit of `plain`, where in the text it comes from. */
function skeletonOf(text: string): Readonly<{ plain: string; places: readonly number[] }> {
  const places: number[] = [];
  let plain = '';
  let at = 0;
  for (const character of text) {
    const read = plainOf(character);
    places.push(...Array.from({ length: read.length }, () => at));
    plain += read;
    at += character.length;
  }
  return { plain, places };
}

function plainOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  // A tag character is a letter of ASCII that nobody sees.
  if (code >= 0xe0020 && code <= 0xe007e) return String.fromCharCode(code - 0xe0000).toLowerCase();
  if (/\s/u.test(character)) return ' ';
  if (character.replace(UNSEEN, '') === '') return '';
  return LATIN.get(character.toLowerCase()) ?? character.normalize('NFKC').toLowerCase();
}

/** What Cyrillic and Greek letters are drawn as. */
const LATIN: ReadonlyMap<string, string> = new Map(
  [
    'аa',
    'еe',
    'оo',
    'рp',
    'сc',
    'уy',
    'хx',
    'іi',
    'јj',
    'ѕs',
    'һh',
    'ԁd',
    'ԛq',
    'ԝw',
    'αa',
    'οo',
    'ρp',
    'ιi',
    'νv',
    'τt',
    'υu',
    'κk',
    'χx',
  ].map(([foreign = '', latin = '']) => [foreign, latin]),
);
