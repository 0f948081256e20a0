import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { manifest } from './manifest.js';

/** What the compiler says of the TypeScript in a Markdown file, each block a module of its own, by line of that file. */
export function snippetFlaws(file: string): readonly string[] {
  const found = snippetsOf(file);
  const at = (name: string): string => join(process.cwd(), name);
  const snippets = new Map(found.map(({ line, text }) => [at(`snippet-${line}.ts`), { line, text }]));
  const ours = new Map([...snippets].map(([name, { text }]) => [name, text]));
  for (const [name, text] of own(found.map(({ text }) => text))) ours.set(at(name), text);
  const options = compilerOptions();
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  const known = host.fileExists.bind(host);
  host.fileExists = (name) => ours.has(name) || known(name);
  host.getSourceFile = (name, version) => {
    const text = ours.get(name);
    return text === undefined ? read(name, version) : ts.createSourceFile(name, text, version, true);
  };
  const program = ts.createProgram([...snippets.keys()], options, host);
  return [...snippets].flatMap(([name, { line }]) => {
    const source = program.getSourceFile(name);
    return ts.getPreEmitDiagnostics(program, source).map(({ start = 0, messageText }) => {
      const where = line + (source?.getLineAndCharacterOfPosition(start).line ?? 0);
      return `${file}:${where}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
  });
}

function snippetsOf(file: string): readonly Readonly<{ line: number; text: string }>[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.flatMap((line, at) => {
    if (!/^```(ts|typescript)\b/.test(line)) return [];
    const end = lines.indexOf('```', at);
    // An `export` makes it a module, so that it may await and two blocks may use one name.
    return [{ line: at + 2, text: [...lines.slice(at + 1, end), 'export {};'].join('\n') }];
  });
}

/** What a reader has of their own, such as `./mine.js`: whatever is imported from there is taken as it is. */
function own(snippets: readonly string[]): ReadonlyMap<string, string> {
  const modules = new Map<string, string>();
  for (const text of snippets) {
    for (const [, names = '', module = ''] of text.matchAll(/import \{([^}]*)\} from '\.\/([\w-]+)\.js'/g)) {
      const declared = names.split(',').map((name) => `export declare const ${name.trim()}: any;`);
      modules.set(`${module}.ts`, [modules.get(`${module}.ts`) ?? '', ...declared].join('\n'));
    }
  }
  return modules;
}

/** Under the names of the package, as whoever installed it has them, and with examples' freedom to leave things unused. */
function compilerOptions(): ts.CompilerOptions {
  const config: unknown = ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path)).config;
  const { options } = ts.parseJsonConfigFileContent(config, { ...ts.sys, readDirectory: () => [] }, process.cwd());
  const source = (target: string): string => target.replace('./dist/', './').replace(/\.js$/, '.ts');
  const paths = Object.entries(manifest().exports).map(([name, target]): [string, string[]] => [
    name.replace('.', 'writ'),
    [source(target)],
  ]);
  return {
    ...options,
    noEmit: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    paths: Object.fromEntries(paths),
  };
}
