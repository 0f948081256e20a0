/** Everything that a command touches outside itself. */
export type Io = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** The text of a file, `undefined` when there is none. */
  readFile(path: string): string | undefined;
  /** Makes a file that nobody else may read; false when there is one of this name already. */
  makePrivateFile(path: string, text: string): boolean;
  readStdin(): Promise<string>;
  out(text: string): void;
  err(text: string): void;
}>;

/** Why a command did not do what it was asked: 1 was refused, 2 is wrong usage or no connection. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: 1 | 2;
  /** What Writ calls the reason, when it was Writ that refused. */
  readonly code: string | undefined;
  constructor(exitCode: 1 | 2, message: string, options?: { cause?: unknown; code?: string }) {
    super(message, options);
    this.exitCode = exitCode;
    this.code = options?.code;
  }
}

const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Text as a terminal may have it: what would steer the terminal, or show text in another order, is spelled out. */
export const harmless = (text: string): string =>
  text.replace(DANGEROUS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
