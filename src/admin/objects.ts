import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, type FieldProblem, plainProblem, type Problem } from '../http/index.js';
import type { RegistrySnapshot } from '../registry/index.js';
import { type ChangeDeps, etagOf, makeChange } from './change.js';
import type { Collection } from './collections.js';
import { type Contents, contentsOf } from './contents.js';
import type { Flaw } from './flaw.js';
import { ChangeEffect, EXAMPLE_EFFECT } from './foresight.js';
import { type Answer, NoBody, NoQuery, type Operation, operation, type Preconditions } from './operation.js';
import { NOTHING } from './plan.js';
import { DryRun, pageOf, Paging, Trial } from './shapes.js';

/** List, read, write and remove the objects of one kind. */
export function objectOperations<T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  deps: ChangeDeps,
): readonly Operation[] {
  return [listThem(of, deps), getOne(of, deps), putOne(of, deps), removeOne(of, deps)];
}

function listThem<T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  { registry }: ChangeDeps,
): Operation {
  return operation({
    id: `list${of.schemaName}s`,
    method: 'GET',
    path: `/admin/v1/${of.plural}`,
    about: `Lists every ${of.title} in the order of ids.`,
    query: Paging,
    body: NoBody,
    answers: [{ status: 200, about: 'A page.', schema: pageOf(of.view), example: { items: [of.example], next: null } }],
    run: async ({ query: { limit, after } }) => {
      const all = [...of.shown(await registry.refresh())].sort((a, b) => (of.kind.idOf(a) < of.kind.idOf(b) ? -1 : 1));
      const left = all.filter((shown) => after === undefined || of.kind.idOf(shown) > after);
      const items = left.slice(0, limit);
      const last = left.length > items.length ? items.at(-1) : undefined;
      return ok({ status: 200, body: { items, next: last === undefined ? null : of.kind.idOf(last) } });
    },
  });
}

function getOne<T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  { registry }: ChangeDeps,
): Operation {
  return operation({
    ...pathOf(of),
    id: `get${of.schemaName}`,
    method: 'GET',
    about: `Shows one ${of.title}.`,
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'The object, with its ETag.', schema: of.view, example: of.example }],
    hasTag: true,
    problems: ['not_found'],
    run: async ({ params: { id = '' } }) => show(of, await registry.refresh(), id, 200),
  });
}

function putOne<T extends object, V extends T, S extends object>(of: Collection<T, V, S>, deps: ChangeDeps): Operation {
  return operation({
    ...pathOf(of),
    id: `put${of.schemaName}`,
    method: 'PUT',
    about: `Registers one ${of.title}, or replaces it whole.`,
    query: Trial,
    body: of.body,
    bodyExample: of.sent,
    preconditions: ['If-Match', 'If-None-Match'],
    hasTag: true,
    answers: [
      { status: 200, about: 'It was there and is now as sent.', schema: of.put, example: of.example },
      { status: 201, about: 'It is new.', schema: of.put, example: of.example },
    ],
    run: async ({ params: { id = '' }, query, body, ...conditions }) => {
      if (of.sentId(body) !== id) {
        return err(fieldProblem([{ param: of.idField, detail: 'differs from the id in the path' }]));
      }
      const request = {
        wish: (before: Contents) => ({ ...NOTHING, ...of.wish(body, before) }),
        refuse: (flaws: readonly Flaw[]) => fieldProblem(flaws.map((flaw) => fieldOf(flaw, of.name, id))),
      };
      const dryRun = query.dry_run === 'true';
      const object = (before: Contents): Problem | undefined => unmet(of.among(before).get(id), conditions);
      const changed = await makeChange({ ...request, object, dryRun, isForeseen: query.effect === 'true' }, deps);
      if (!changed.ok) return changed;
      const status = changed.value.changes.some(({ change }) => change === 'created') ? 201 : 200;
      const snapshot = await deps.registry.refresh();
      const would = of.among(changed.value.after).get(id);
      if (!dryRun || would === undefined) return show(of, snapshot, id, status);
      return ok({ status, body: { ...of.would(would, shownOf(of, snapshot, id)), effect: changed.value.effect } });
    },
  });
}

const Removable = z.strictObject({ effect: ChangeEffect });

function removeOne<T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  deps: ChangeDeps,
): Operation {
  return operation({
    ...pathOf(of),
    id: `remove${of.schemaName}`,
    method: 'DELETE',
    about: `Removes one ${of.title}. Refused while another object names it.`,
    query: DryRun,
    body: NoBody,
    preconditions: ['If-Match'],
    answers: [
      { status: 204, about: 'It is gone.' },
      { status: 200, about: 'It would go: of a dry run.', schema: Removable, example: { effect: EXAMPLE_EFFECT } },
    ],
    problems: ['not_found', 'in_use'],
    run: async ({ params: { id = '' }, query, ...conditions }) => {
      const request = {
        wish: () => ({ ...NOTHING, remove: [{ kind: of.name, id }] }),
        refuse: (flaws: readonly Flaw[]) =>
          fieldProblem(
            flaws.map((flaw) => fieldOf(flaw, of.name, id)),
            'in_use',
          ),
      };
      const changed = await makeChange(
        {
          ...request,
          object: (before) => {
            const known = of.among(before).get(id);
            return known === undefined ? missing(of, id) : unmet(known, conditions);
          },
          dryRun: query.dry_run === 'true',
        },
        deps,
      );
      if (!changed.ok) return changed;
      const { effect } = changed.value;
      return ok(effect === undefined ? { status: 204 } : { status: 200, body: { effect } });
    },
  });
}

const pathOf = <T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
): Pick<Operation, 'path' | 'params'> => ({
  path: `/admin/v1/${of.plural}/:id`,
  params: { id: `Its ${of.idField}, percent-encoded.` },
});

function show<T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  snapshot: RegistrySnapshot,
  id: string,
  status: 200 | 201,
): Result<Answer, Problem> {
  const shown = shownOf(of, snapshot, id);
  const object = of.among(contentsOf(snapshot)).get(id);
  if (shown === undefined || object === undefined) return err(missing(of, id));
  return ok({ status, body: shown, headers: { ETag: etagOf(object) } });
}

const shownOf = <T extends object, V extends T, S extends object>(
  of: Collection<T, V, S>,
  snapshot: RegistrySnapshot,
  id: string,
): V | undefined => of.shown(snapshot).find((candidate) => of.kind.idOf(candidate) === id);

const missing = <T extends object, V extends T, S extends object>(of: Collection<T, V, S>, id: string): Problem =>
  plainProblem('not_found', `There is no ${of.title} ${id}`);

/** RFC 9110 sections 13.1.1 and 13.1.2. */
export function unmet(known: object | undefined, { ifMatch, ifNoneMatch }: Preconditions): Problem | undefined {
  const isNamed = (tags: string): boolean =>
    known !== undefined && (tags === '*' || tags.split(/\s*,\s*/).includes(etagOf(known)));
  if (ifMatch !== undefined && !isNamed(ifMatch)) return plainProblem('precondition_failed');
  if (ifNoneMatch !== undefined && isNamed(ifNoneMatch))
    return plainProblem('precondition_failed', 'It is there already');
  return undefined;
}

/** A flaw of the object itself by its field, one of another by that object's name too. */
const fieldOf = (flaw: Flaw, kind: Flaw['kind'], id: string): FieldProblem => ({
  param: flaw.kind === kind && flaw.id === id ? flaw.path : `${flaw.kind} ${flaw.id}: ${flaw.path}`,
  detail: flaw.message,
});
