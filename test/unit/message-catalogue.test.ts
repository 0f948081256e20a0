import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

/** Where pages and messages for people are made. */
const PAGES = [
  ...readdirSync('src/human', { recursive: true, encoding: 'utf8' }).map((name) => `src/human/${name}`),
  'src/oauth/troubles.ts',
  'src/notice/message.ts',
].filter((path) => path.endsWith('.ts'));

/** What people would read of markup: the text between tags, and the attributes that are shown or spoken. */
const spokenIn = (markup: string): string =>
  [
    ...markup.matchAll(/\s(?:title|alt|placeholder|aria-label|data-(?:failed|known|missing|denied))="([^"]*)"/g),
    ...markup.replaceAll(/<[^>]*>/g, '\n').matchAll(/([^\n]+)/g),
  ]
    .map(([, text = '']) => text)
    .join('\n');

/** A word of ours: letters that are neither an entity, a unit of time, nor what a page says as code. */
const WORD = /\p{L}{2,}/u;
const NO_PROSE = /&\w+;|\bUTC\b/g;

const isMarkup = (node: ts.Node): node is ts.TaggedTemplateExpression =>
  ts.isTaggedTemplateExpression(node) && node.tag.getText() === 'html';

/** A template that is no markup. */
const isText = (node: ts.Node): node is ts.TemplateLiteral =>
  (ts.isTemplateExpression(node) || ts.isNoSubstitutionTemplateLiteral(node)) &&
  !ts.isTaggedTemplateExpression(node.parent);

const textOf = (node: ts.StringLiteral | ts.TemplateLiteral): string =>
  ts.isTemplateExpression(node)
    ? [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join('$')
    : node.text;

/** Begins as one, and goes on with a second word. */
const SENTENCE = /^\p{Lu}[\p{L}’'-]* [$\p{L}\d]/u;

/** The template with each value that is put into it as a mark without letters, and inside tags as nothing. */
const skeletonOf = ({ template }: ts.TaggedTemplateExpression): string =>
  ts.isNoSubstitutionTemplateLiteral(template)
    ? template.text
    : [template.head.text, ...template.templateSpans.map(({ literal }) => literal.text)].join('$');

/** One attribute, such as `hidden`, that is put into a tag. */
const ATTRIBUTE = /^\s*[a-z-]+(?:="[^"]*")?\s*$/;

/** Whether it is thrown or told to whoever runs the server, and not to a person. */
const isForOperators = (node: ts.Node): boolean =>
  ts.isNewExpression(node.parent) || ts.isThrowStatement(node.parent) || ts.isImportDeclaration(node.parent);

function flawsOf(path: string, text: string): readonly string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const flaw = (node: ts.Node, said: string): void => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${path}:${String(line + 1)} ${said.trim()}`);
  };
  const visit = (node: ts.Node): void => {
    if (isMarkup(node)) {
      const skeleton = skeletonOf(node);
      const said = ATTRIBUTE.test(skeleton) ? '' : spokenIn(skeleton).replaceAll(NO_PROSE, '');
      if (WORD.test(said)) flaw(node, said);
    } else if ((ts.isStringLiteral(node) || isText(node)) && !isForOperators(node) && SENTENCE.test(textOf(node)))
      flaw(node, textOf(node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

describe('the message catalogue', () => {
  it.each(PAGES)('is the one place of what people read: no prose in %s', (path) => {
    expect(flawsOf(path, readFileSync(path, 'utf8'))).toEqual([]);
  });

  it.each([
    ['text between tags', 'const a = html`<p>Sign out ${name}</p>`;', 'a.ts:1 Sign out $'],
    ['text at the beginning', 'const a = html`Sign out`;', 'a.ts:1 Sign out'],
    ['an attribute that is spoken', 'const a = html`<a aria-label="Sign out" href="x">$</a>`;', 'a.ts:1 Sign out\n$'],
    ['a sentence with a value in it', 'const a = `Allow ${agent} to act?`;', 'a.ts:1 Allow $ to act?'],
    ['a sentence with a number', "const a = 'Wait 5 minutes!';", 'a.ts:1 Wait 5 minutes!'],
    ['a sentence in a variable', "const a = 'You are signed out.';", 'a.ts:1 You are signed out.'],
  ])('would find %s', (_what, text, flaw) => {
    expect(flawsOf('a.ts', text)).toEqual([flaw]);
  });

  it.each([
    ['what is a name in code', 'const a = html`<input type="hidden" name="token" value="${x}" />`;'],
    ['an attribute that stands alone', 'const a = html`hidden`;'],
    ['what stands in the log', "const reason = 'the person paused it';"],
    ['what only operators see', "throw new Fault('internal', 'there is no key');"],
  ])('finds nothing in %s', (_what, text) => {
    expect(flawsOf('a.ts', text)).toEqual([]);
  });
});
