import { describe, expect, it } from '@jest/globals';
import {
  copyJson,
  definitionDigest,
  definitionOf,
  type JsonObject,
  listedPin,
  sha256,
} from '../../src/protocol/index.js';
import { placeholdersOf, Tool, type ToolInput, toolState, withReview } from '../../src/registry/index.js';

const definition = {
  name: 'delete_repo',
  title: 'Delete a repository',
  description: 'Deletes it for good.',
  inputSchema: { type: 'object', properties: { owner: { type: 'string' }, repo: { type: 'string' } } },
  annotations: { destructiveHint: true },
};
const PIN = sha256(
  '{"annotations":{"destructiveHint":true},"description":"Deletes it for good.","inputSchema":{"properties":{"owner":{"type":"string"},"repo":{"type":"string"}},"type":"object"},"name":"delete_repo","title":"Delete a repository"}',
);
const valid: ToolInput = {
  name: 'delete_repo',
  scopes: ['repo:write'],
  tier: 'high',
  action: 'delete',
  data: 'confidential',
  sensitive: ['owner'],
  sentence: 'Delete repository {owner}/{repo}',
  definition,
  reviewed: PIN,
};

/** An object in so many others. */
const nested = (levels: number): JsonObject => (levels === 0 ? {} : { a: nested(levels - 1) });

describe('the pin of a tool', () => {
  it('is the SHA-256 over the RFC 8785 form of name, title, description, schemas and annotations', () => {
    expect(definitionDigest(definition)).toEqual({ ok: true, value: PIN });
  });
  it('does not depend on the order of members, nor on what nobody acts on', () => {
    const { name, ...rest } = definition;
    const listed = definitionOf({ ...rest, name, icons: [{ src: 'a.png' }], _meta: { build: 7 } });
    expect(listed && definitionDigest(listed)).toEqual({ ok: true, value: PIN });
  });
  it.each([
    ['title', { title: 'Delete' }],
    ['description', { description: 'Deletes it for good. ' }],
    ['input schema', { inputSchema: { type: 'object' } }],
    ['output schema', { outputSchema: { type: 'object' } }],
    ['annotations', { annotations: {} }],
  ])('changes with the %s', (_member, change) => {
    expect(definitionDigest({ ...definition, ...change })).not.toEqual({ ok: true, value: PIN });
  });
  it.each([
    ['no input schema', { name: 'x' }],
    ['a name that cannot be registered', { ...definition, name: 'delete repo' }],
    ['a description of 16 kB and more', { ...definition, description: 'x'.repeat(16_385) }],
    [
      'more than 64 kB in all',
      { ...definition, inputSchema: { enum: Array.from({ length: 9 }, () => 'x'.repeat(8_000)) } },
    ],
    ['a schema of more than 24 levels', { ...definition, inputSchema: nested(24) }],
    ['a character that no database keeps', { ...definition, description: 'x\u0000' }],
    ['half a character', { ...definition, inputSchema: { '\ud800': 1 } }],
    ['a name that reaches a prototype', { ...definition, inputSchema: JSON.parse('{"__proto__":1}') as JsonObject }],
  ])('is refused to %s', (_title, listed) => {
    expect(definitionOf(listed)).toBeUndefined();
  });
});

describe('the pin of what cannot be registered', () => {
  it('is there all the same, and for a good definition is the same', () => {
    expect(listedPin({ ...definition, icons: [] })).toBe(PIN);
    expect(listedPin({ name: 'x' })).toBe(sha256('{"name":"x"}'));
    expect(listedPin({ name: 'x', title: 'x\\u0000 \u0000' })).toBe(
      sha256('{"name":"x","title":"x\\\\u0000 \\u0000"}'),
    );
  });
  it('is nothing for what has no one form', () => {
    expect(
      [
        { name: '\ud800' },
        { name: 'x', inputSchema: { a: 1e300 } },
        { name: 'x', inputSchema: copyJson(nested(30)) },
      ].map(listedPin),
    ).toEqual([undefined, undefined, undefined]);
  });
  it('allows what looks like an escape but is none', () => {
    expect(definitionOf({ ...definition, description: 'x\\u0000 "constructor":' })).toBeDefined();
    expect(definitionOf({ ...definition, inputSchema: nested(22) })).toBeDefined();
  });
});

describe('a tool of the catalogue', () => {
  it.each([
    ['reviewed', {}],
    ['draft', { reviewed: undefined }],
    ['needs_review', { changed: { sha256: 'B'.repeat(43), seen_by: 'import', seen_at: '2026-11-22T12:00:00Z' } }],
  ] as const)('is %s by what it says', (state, change) => {
    expect(toolState(Tool.parse({ ...valid, ...change }))).toBe(state);
  });
  it('is reviewed again when a person has confirmed the new definition', () => {
    const changed = { sha256: 'B'.repeat(43), seen_by: 'agent', seen_at: '2026-11-22T12:00:00Z' } as const;
    const newer = { ...definition, title: 'Delete' };
    const pin = definitionDigest(newer);
    expect(withReview(Tool.parse({ ...valid, changed }), newer)).toEqual({
      ok: true,
      value: { ...valid, definition: newer, reviewed: pin.ok && pin.value },
    });
  });
  it.each([
    [
      'a pin of another definition',
      { reviewed: 'A'.repeat(43) },
      'reviewed',
      'is not the RFC 8785 SHA-256 of this definition',
    ],
    [
      'a review without its class',
      { action: undefined },
      'reviewed',
      'needs action and data: nobody can have reviewed a tool without them',
    ],
    [
      'the definition of another tool',
      { definition: { ...definition, name: 'list' }, reviewed: undefined },
      'definition.name',
      'must be the name of the tool',
    ],
    [
      'a sentence about an argument that it lacks',
      { sentence: 'Delete {branch}' },
      'sentence',
      'names an argument that the definition does not have',
    ],
  ])('refuses %s', (_title, change, path, message) => {
    const issues = Tool.safeParse({ ...valid, ...change }).error?.issues ?? [];
    expect(issues.map((issue) => [issue.path.join('.'), issue.message])).toEqual([[path, message]]);
  });
  it('finds the arguments that a sentence speaks of', () => {
    expect(placeholdersOf('Delete repository {owner}/{repo}')).toEqual(['owner', 'repo']);
  });
});
