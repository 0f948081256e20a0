import { readFileSync } from 'node:fs';

/** Rows of the tables below each heading of a Markdown file: cells without the marks of code. */
export function tables(file: string): ReadonlyMap<string, readonly (readonly string[])[]> {
  const found = new Map<string, string[][]>();
  let heading = '';
  let inBody = false;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
    if (!line.startsWith('|')) inBody = false;
    else if (/^\|( *:?-+:? *\|)+$/.test(line)) inBody = true;
    else if (inBody) found.set(heading, [...(found.get(heading) ?? []), cells(line)]);
  }
  return found;
}

const cells = (line: string): string[] =>
  line
    .slice(1, line.lastIndexOf('|'))
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('`', '').replaceAll('\\|', '|'));

/** What is in one list and not in the other, as sentences. */
export function differences(source: Iterable<string>, documented: Iterable<string>, what: string): readonly string[] {
  const [ours, theirs] = [new Set(source), new Set(documented)];
  return [
    ...[...ours].filter((one) => !theirs.has(one)).map((one) => `${what}: not documented: ${one}`),
    ...[...theirs].filter((one) => !ours.has(one)).map((one) => `${what}: documented, but not in the source: ${one}`),
  ];
}
