import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JsonObject } from '../../src/protocol/index.js';
import { argumentsType } from '../../src/policy/set/argument-type.js';
import { EVERYTHING, NOTHING } from '../../src/policy/set/mentions.js';
import { projectArguments } from '../../src/policy/set/projection.js';
import { setOf, theTransfer, transfer } from '../support/policies.js';

const SCHEMA: JsonObject = {
  type: 'object',
  properties: {
    amount: { type: 'number' },
    count: { type: 'integer' },
    to: { type: 'string' },
    urgent: { type: 'boolean' },
    currency: { enum: ['EUR', 'USD'] },
    tags: { type: 'array', items: { type: 'string' } },
    payee: { type: 'object', properties: { country: { type: 'string' } }, required: ['country'] },
    memo: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    branch: { $ref: '#/$defs/branch' },
    tree: { $ref: '#/$defs/tree' },
    either: { type: ['string', 'integer'] },
  },
  required: ['amount', 'memo'],
  $defs: {
    branch: { type: 'object', properties: { code: { type: 'integer' } } },
    tree: { type: 'object', properties: { left: { $ref: '#/$defs/tree' }, size: { type: 'integer' } } },
  },
};
const TYPE = argumentsType(SCHEMA);
const project = (args: JsonObject) => projectArguments(args, TYPE, EVERYTHING);
const decimal = (arg: string) => ({ __extn: { fn: 'decimal', arg } });

describe('arguments as policies see them', () => {
  it('have the types of the reviewed schema, and leave out what has none in Cedar', () => {
    const seen = {
      count: -3,
      to: 'DE89',
      urgent: false,
      currency: 'EUR',
      tags: ['a', 'b', 'a'],
      branch: { code: 7 },
    };
    const args = { ...seen, amount: 12.5, payee: { country: 'DE', unseen: 1 }, tree: { size: 2, left: { size: 1 } } };
    expect(project({ ...args, memo: null, either: 5, more: true })).toEqual({
      ok: true,
      value: { ...seen, amount: decimal('12.5'), payee: { country: 'DE' }, tree: { size: 2 } },
    });
  });

  it.each([
    ['missing', 'arguments.amount', {}],
    ['missing', 'arguments.amount', { amount: null }],
    ['missing', 'arguments.payee.country', { amount: 1, payee: {} }],
    ['wrong_type', 'arguments.amount', { amount: '12.5' }],
    ['wrong_type', 'arguments.amount', { amount: [1] }],
    ['wrong_type', 'arguments.count', { amount: 1, count: 1.5 }],
    ['wrong_type', 'arguments.currency', { amount: 1, currency: 'GBP' }],
    ['wrong_type', 'arguments.tags', { amount: 1, tags: { 0: 'a' } }],
    ['wrong_type', 'arguments.tags[1]', { amount: 1, tags: ['a', null] }],
    ['wrong_type', 'arguments.payee', { amount: 1, payee: 'DE' }],
    ['out_of_range', 'arguments.amount', { amount: 0.00001 }],
    ['out_of_range', 'arguments.amount', { amount: 1.23456 }],
    ['out_of_range', 'arguments.amount', { amount: 1e300 }],
    ['out_of_range', 'arguments.amount', { amount: -922_337_203_685_478 }],
    ['out_of_range', 'arguments.count', { amount: 1, count: 2 ** 53 }],
    ['reserved_name', 'arguments', { amount: 1, __entity: { type: 'Person', id: 'boss' } }],
    ['reserved_name', 'arguments', { amount: 1, tags: [{ deep: { __extn: { fn: 'ip', arg: '::1' } } }] }],
    ['reserved_name', 'arguments', { amount: 1, undeclared: [[{ __expr: 'principal' }]] }],
  ] as const)('are refused as %s at %s, whatever their value', (problem, path, args) => {
    expect(project(args)).toEqual({ ok: false, error: { path, problem } });
  });

  it('are refused when a closed schema does not declare them', () => {
    const closed = argumentsType({
      type: 'object',
      properties: { a: { type: 'string' } },
      additionalProperties: false,
    });
    expect(projectArguments({ a: 'x', b: 1 }, closed, EVERYTHING)).toEqual({
      ok: false,
      error: { path: 'arguments', problem: 'undeclared' },
    });
  });

  it('need not fit a decimal where no policy reads them', () => {
    expect(projectArguments({ amount: 52.520008 }, TYPE, NOTHING)).toEqual({ ok: true, value: {} });
  });

  it('are never rounded: a number arrives as exactly itself, or not at all', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double(),
          fc.maxSafeInteger(),
          fc.integer().map((n) => n / 10_000),
        ),
        (amount) => {
          const projected = project({ amount });
          if (!projected.ok) return projected.error.path === 'arguments.amount';
          const text = /"arg":"(-?\d+\.\d{1,4})"/.exec(JSON.stringify(projected.value))?.[1];
          return text !== undefined && Number(text) === amount && Math.abs(amount) <= 922_337_203_685_477;
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('take any JSON at all without a fault, and let no name through that Cedar gives a meaning', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('amount', 'tags', 'payee', 'tree', '__entity', 'x'), fc.jsonValue()),
        (args) => {
          const copy: unknown = JSON.parse(JSON.stringify(args));
          const projected = projectArguments(Object.assign({}, copy), TYPE, EVERYTHING);
          return !projected.ok || !/"__(entity|expr)"/.test(JSON.stringify(projected.value));
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('a payment that policy bounds by amount', () => {
  const set = setOf(`@id("all") permit(principal, action, resource);
    @id("large") @reason("Payments stop at 100.")
    forbid(principal, action == Action::"${transfer.server}#transfer", resource)
    unless { context has arguments && context.arguments.amount.lessThanOrEqual(decimal("100.0")) };`);
  const rest = { to: 'DE89', times: 1 };

  it('is allowed within the bound', () => {
    expect(set.decide(theTransfer({ ...rest, amount: 100 }))).toEqual({ verdict: 'allow', policies: ['all'] });
  });

  it.each([100.01, 1_000_000])('is forbidden at %d', (amount) => {
    expect(set.decide(theTransfer({ ...rest, amount }))).toMatchObject({ verdict: 'deny', policies: ['large'] });
  });

  it('is forbidden without arguments', () => {
    expect(set.decide(theTransfer(undefined))).toMatchObject({ verdict: 'deny', policies: ['large'] });
  });

  it.each([
    ['missing', rest],
    ['wrong_type', { ...rest, amount: '5' }],
    ['out_of_range', { ...rest, amount: 1e16 }],
  ] as const)('is refused when its amount is %s', (problem, args) => {
    expect(set.decide(theTransfer(args))).toEqual({
      verdict: 'deny',
      reason: 'unreadable_arguments',
      term: 'request',
      policies: [],
      messages: [],
      argument: { path: 'arguments.amount', problem },
    });
  });
});
