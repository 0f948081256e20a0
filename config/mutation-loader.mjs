// Node's module hooks for mutation-runner.mjs: TypeScript by swc, `.js` that is `.ts`, and our own @jest/globals.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { transform } from '@swc/core';

const OPTIONS = {
  jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
  module: { type: 'es6' },
  configFile: false,
  swcrc: false,
};
let globals;
/** `{ file, replace, by, append }`: makes one constant of one file changeable while it runs. */
let change;

export function initialize(data) {
  ({ globals, change } = data);
}

export function resolve(specifier, context, next) {
  if (specifier === '@jest/globals') return { url: globals, shortCircuit: true };
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    const url = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
    if (existsSync(fileURLToPath(url))) return { url: url.href, format: 'module', shortCircuit: true };
  }
  if (specifier.startsWith('file:') && specifier.endsWith('.ts'))
    return { url: specifier, format: 'module', shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const file = fileURLToPath(url);
  const text = readFileSync(file, 'utf8');
  const source = change && file.endsWith(change.file) ? text.replace(change.replace, change.by) + change.append : text;
  const { code } = await transform(source, { ...OPTIONS, filename: file });
  return { format: 'module', source: code, shortCircuit: true };
}
