import { z } from 'zod';
import { systemClock } from '../base/index.js';
import { parseYaml } from '../config/index.js';
import { type AdminApi, connect, type ConnectionOptions, type Tagged } from './api.js';
import { describeField, readInput } from './apply.js';
import { effectLines, withoutEffect } from './effect.js';
import type { Draft, Fill, Flags } from './fields.js';
import { Failure, type Io } from './io.js';

/** Where objects of a kind are, and what people call one. */
export type ObjectPlace = Readonly<{ plural: string; title: string; idField: string }>;

export type WriteOptions = Flags &
  ConnectionOptions &
  Readonly<{ file?: string; dryRun?: boolean; ifMatch?: string; json?: boolean }>;

type Order = Readonly<{ id: string; place: ObjectPlace; fill: Fill }> &
  (Readonly<{ verb: 'create'; fresh(id: string): Draft }> | Readonly<{ verb: 'change' | 'retire' }>);

/** Reads the object, puts the flags into it, has Writ check it, and writes it only where it still is what was read. */
export async function writeObject(order: Order, options: WriteOptions, io: Io): Promise<void> {
  const api = connect(options, io);
  const path = `/${order.place.plural}/${encodeURIComponent(order.id)}`;
  const before = order.verb === 'create' ? undefined : await seen(api, path, options.ifMatch);
  const whole = options.file === undefined ? undefined : await wholeObject(options.file, order.place, io);
  const now = systemClock.now();
  const start = whole ?? before?.object ?? ('fresh' in order ? order.fresh(order.id) : {});
  const saves: (() => void)[] = [];
  const draft = await order.fill(options, start, { api, io, now, later: (save) => saves.push(save) });
  const trial = `dry_run=true&effect=${String(options.dryRun === true)}`;
  const send = (dryRun: boolean): Promise<unknown> =>
    api.send('PUT', `${path}?${dryRun ? trial : 'dry_run=false'}`, draft, condition(before));
  const checked = await explained(order, () => send(true));
  if (options.dryRun !== true) for (const save of saves) save();
  const after = options.dryRun === true ? checked : await explained(order, () => send(false));
  io.out(options.json === true ? JSON.stringify(after, null, 2) : describe(order, { before, after, options }));
}

const condition = (before: Tagged | undefined): Readonly<Record<string, string>> =>
  before === undefined ? { 'If-None-Match': '*' } : { 'If-Match': before.etag };

async function seen(api: AdminApi, path: string, ifMatch: string | undefined): Promise<Tagged> {
  const { object, etag } = await api.read(path);
  return { object, etag: ifMatch ?? etag };
}

const AnyObject = z.record(z.string(), z.unknown());

/** The one object of a file: alone, or as `get` prints it. */
async function wholeObject(file: string, { plural }: ObjectPlace, io: Io): Promise<Draft> {
  const documents = parseYaml(await readInput(file, io));
  if (!documents.ok) throw new Failure(2, `${file}: ${documents.error}`);
  const [document, ...more] = documents.value;
  if (document === undefined || more.length > 0) throw new Failure(2, `${file} must hold one document`);
  const listed = z.object({ [plural]: z.array(AnyObject).length(1) }).safeParse(document);
  return listed.success ? (listed.data[plural]?.[0] ?? {}) : document;
}

/** What a refused precondition means for somebody who wrote no precondition. */
async function explained<T>({ verb, id, place: { title, plural } }: Order, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof Failure && failure.code === 'precondition_failed')) throw failure;
    const said =
      verb === 'create'
        ? `there is the ${title} ${id} already; look at it with writ ${plural} get, alter it with writ ${plural} change`
        : `the ${title} ${id} was changed after it was read, and stays as it is; look at it with writ ${plural} get, then try again`;
    throw new Failure(1, said, { cause: failure, code: failure.code });
  }
}

const DONE = { create: 'created', change: 'changed', retire: 'retired' } as const;

type Written = Readonly<{ before: Tagged | undefined; after: unknown; options: WriteOptions }>;

function describe({ verb, id, place: { title, plural } }: Order, { before, after, options }: Written): string {
  const { dryRun, newKey, secret } = options;
  const fields = before === undefined ? [] : changedFields(before.object, withoutEffect(AnyObject.parse(after)));
  if (before !== undefined && fields.length === 0) return `unchanged ${title} ${id}`;
  const kept =
    newKey === undefined ? [] : [`  its private key is in ${newKey}, and nowhere else: give it to the ${title}`];
  const wanted = secret === true ? [`  it needs a secret: writ ${plural} secret ${id}`] : [];
  const next = dryRun === true ? [] : [...kept, ...wanted];
  const done = dryRun === true ? `would be ${DONE[verb]}:` : DONE[verb];
  return [`${done} ${title} ${id}`, ...fields, ...effectLines(after), ...next].join('\n');
}

function changedFields(before: Draft, after: Draft): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .map((field) =>
      describeField({
        field,
        ...(field in before ? { before: before[field] } : {}),
        ...(field in after ? { after: after[field] } : {}),
      }),
    );
}
