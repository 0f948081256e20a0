const WIDTH = 100;

/** Colours where there is a terminal to show them, and plain text everywhere else. */
export type Paint = Readonly<Record<'bold' | 'dim' | 'green' | 'red' | 'blue', (text: string) => string>>;

export function makePaint(hasColour: boolean): Paint {
  const code =
    (on: number, off: number) =>
    (text: string): string =>
      hasColour ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return { bold: code(1, 22), dim: code(2, 22), green: code(32, 39), red: code(31, 39), blue: code(36, 39) };
}

/** Prints the story: titles, sentences, tokens, pictures and tables, none wider than 100 columns. */
export class Terminal {
  readonly #print: (line: string) => void;
  readonly paint: Paint;

  constructor(print: (line: string) => void, paint: Paint) {
    this.#print = print;
    this.paint = paint;
  }

  title(text: string): void {
    const rule = '─'.repeat(Math.max(0, WIDTH - text.length - 4));
    this.#lines(['', `${this.paint.dim('──')} ${this.paint.bold(text)} ${this.paint.dim(rule)}`, '']);
  }

  /** One paragraph. */
  say(...sentences: readonly string[]): void {
    this.#lines(wrap(sentences.join(' '), WIDTH - 3).map((line) => `   ${line}`));
  }

  /** A line as it is, a little to the right. */
  show(...lines: readonly string[]): void {
    this.#lines(lines.map((line) => (line === '' ? line : `   ${line}`)));
  }

  /** A sentence that came true or not, and below it what was seen. */
  check(what: string, isRight: boolean, seen = ''): void {
    const mark = isRight ? this.paint.green('✓') : this.paint.red('✗');
    const [first = '', ...rest] = wrap(what, WIDTH - 5);
    const below = seen === '' ? [] : wrap(seen, WIDTH - 7).map((line) => `  ${this.paint.dim(line)}`);
    this.show(`${mark} ${first}`, ...[...rest, ...below].map((line) => `  ${line}`));
  }

  /** The claims of a token, one a row. Never the token: whoever reads along could use it. */
  claims(title: string, claims: Readonly<Record<string, unknown>>): void {
    this.#lines(['', `   ${this.paint.dim(title)}`]);
    const names = Object.keys(claims);
    const left = Math.min(Math.max(...names.map((name) => name.length)), 12) + 5;
    for (const name of names) {
      const [first = '', ...rest] = chop(JSON.stringify(claims[name]), WIDTH - left - 2);
      if (name.length > left - 5) this.#lines([`   ${this.paint.blue(name)}`, ' '.repeat(left) + first]);
      else this.#print(`   ${this.paint.blue(name.padEnd(left - 3))}${first}`);
      this.#lines(rest.map((line) => ' '.repeat(left) + line));
    }
    this.#print('');
  }

  /** Rows in columns under a line of names. */
  table(names: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = names.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
    const line = (cells: readonly string[]): string =>
      cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd();
    this.show(this.paint.dim(line(names)), ...rows.map(line));
  }

  #lines(lines: readonly string[]): void {
    lines.forEach(this.#print);
  }
}

/** Broken between words. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Broken where JSON allows it to be read on: after a comma, when there is one in reach. */
function chop(json: string, width: number): readonly string[] {
  if (json.length <= width) return [json];
  const comma = json.lastIndexOf(',', width - 1);
  const at = comma > width / 2 ? comma + 1 : width;
  return [json.slice(0, at), ...chop(json.slice(at), width)];
}
