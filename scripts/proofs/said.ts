import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** An OAuth error as the source says it; what is put in at run time stands as `…`. */
export type Said = Readonly<{ code: string; sentence: string; file: string }>;

/** Rooms whose answers a client of /token (exchange), /introspect, /revoke and /access/v1 or of the verifier can meet. */
const ROOMS = ['audit', 'authzen', 'client', 'drift', 'exchange', 'http', 'introspection', 'protocol', 'sdk/verifier'];

export function saidErrors(): readonly Said[] {
  const files = ROOMS.flatMap((room) => {
    const folder = join('src', room);
    const names = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    return names.map((name) => join(folder, name));
  });
  return files.flatMap((file) => saidIn(parse(file)));
}

const parse = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023, true);

function saidIn(source: ts.SourceFile): readonly Said[] {
  const sayers = new Map<string, Sayer>();
  walk(source, (node) => {
    const sayer = sayerOf(node);
    if (sayer !== undefined) sayers.set(sayer.name, sayer);
  });
  const said: Said[] = [];
  const add = (code: string | undefined, sentence: string | undefined): void => {
    if (code !== undefined && sentence !== undefined) said.push({ code, sentence, file: source.fileName });
  };
  walk(source, (node) => {
    if (ts.isObjectLiteralExpression(node)) add(member(node, 'error'), member(node, 'error_description'));
    for (const [code, sentence] of messagesOf(node)) add(code, sentence);
    if (!ts.isCallExpression(node) || !ts.isIdentifier(node.expression)) return;
    const sayer = sayers.get(node.expression.text);
    if (sayer === undefined) return;
    const text = (at: number): string | undefined => textOf(node.arguments[at]);
    add(sayer.code ?? text(sayer.codeAt), text(sayer.sentenceAt));
  });
  return said;
}

/** A function of this file that makes an error from a sentence given as `error_description`. */
type Sayer = Readonly<{ name: string; code: string | undefined; codeAt: number; sentenceAt: number }>;

function sayerOf(node: ts.Node): Sayer | undefined {
  if (!ts.isVariableDeclaration(node) || !ts.isIdentifier(node.name)) return undefined;
  const { initializer } = node;
  if (initializer === undefined || !ts.isArrowFunction(initializer)) return undefined;
  const names = initializer.parameters.map(({ name }) => name.getText());
  const sentenceAt = names.indexOf('error_description');
  if (sentenceAt < 0) return undefined;
  let code: string | undefined;
  walk(initializer.body, (inner) => {
    if (ts.isObjectLiteralExpression(inner)) code ??= member(inner, 'error');
  });
  return { name: node.name.text, code, codeAt: names.indexOf('error'), sentenceAt };
}

/** `const MESSAGES = { code: 'sentence' }`: one sentence for each code of the verifier. */
function messagesOf(node: ts.Node): readonly (readonly [string, string | undefined])[] {
  if (!ts.isVariableDeclaration(node) || node.name.getText() !== 'MESSAGES') return [];
  if (node.initializer === undefined || !ts.isObjectLiteralExpression(node.initializer)) return [];
  return node.initializer.properties.flatMap((one) =>
    ts.isPropertyAssignment(one) ? [[one.name.getText(), textOf(one.initializer)] as const] : [],
  );
}

function member(object: ts.ObjectLiteralExpression, name: string): string | undefined {
  const found = object.properties.find((one) => one.name?.getText() === name);
  return found !== undefined && ts.isPropertyAssignment(found) ? textOf(found.initializer) : undefined;
}

function textOf(node: ts.Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  return [node.head.text, ...node.templateSpans.map(({ literal }) => `…${literal.text}`)].join('');
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  node.forEachChild((child) => {
    walk(child, visit);
  });
}
