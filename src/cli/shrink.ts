import { z } from 'zod';
import { connect } from './api.js';
import type { Connected } from './command.js';
import { effectLines } from './effect.js';
import { Failure, type Io } from './io.js';

export type ShrinkOptions = Connected & Readonly<{ unusedDays?: string; ifMatch?: string; dryRun?: boolean }>;

const Rights = z.object({
  resource: z.string(),
  server: z.boolean(),
  tools: z.array(z.string()),
  scopes: z.array(z.string()),
});
const Listed = z.object({
  unused_days: z.number(),
  counted_until: z.string(),
  unused: z.array(Rights),
  unused_hand_over_to: z.array(z.string()),
  unused_transaction_tokens: z.boolean(),
});

/** `writ agents shrink`: what is listed is what is taken, from the agent as it was listed, or nothing is. */
export async function shrink(id: string, options: ShrinkOptions, io: Io): Promise<void> {
  const { unusedDays, ifMatch, dryRun = false, json = false } = options;
  const api = connect(options, io);
  const path = `/agents/${encodeURIComponent(id)}`;
  const query = unusedDays === undefined ? '' : `?unused_days=${encodeURIComponent(unusedDays)}`;
  const { object, etag } = await api.read(`${path}/unused-rights${query}`);
  const { unused_days, counted_until, unused: take, ...beside } = Listed.parse(object);
  const { unused_hand_over_to: take_hand_over_to, unused_transaction_tokens: take_transaction_tokens } = beside;
  const lines = [
    ...take.map(line),
    ...(take_hand_over_to.length === 0 ? [] : [`  handing over to ${take_hand_over_to.join(', ')}`]),
    ...(take_transaction_tokens ? ['  tokens for the trust domain'] : []),
  ];
  const seen = ifMatch ?? etag;
  if (lines.length === 0) {
    io.out(
      json ? JSON.stringify(object, null, 2) : `nothing of agent ${id} is unused (counted until ${counted_until})`,
    );
    return;
  }
  const answer = await explained(id, () =>
    api.send(
      'POST',
      `${path}/shrink?dry_run=${String(dryRun)}`,
      { unused_days, take, take_hand_over_to, take_transaction_tokens },
      { 'If-Match': seen },
    ),
  );
  if (json) {
    io.out(JSON.stringify(answer, null, 2));
    return;
  }
  const tag = dryRun ? [`# ETag: ${seen}`] : [];
  io.out(
    [...tag, `${dryRun ? 'would be taken' : 'taken'} from agent ${id}:`, ...lines, ...effectLines(answer)].join('\n'),
  );
}

const line = ({ resource, server, tools, scopes }: z.infer<typeof Rights>): string => {
  const parts = [
    ...(tools.length === 0 ? [] : [`tools ${tools.join(', ')}`]),
    ...(scopes.length === 0 ? [] : [`scopes ${scopes.join(', ')}`]),
  ];
  return `  ${resource}: ${server ? 'all of it' : parts.join('; ')}`;
};

async function explained<T>(id: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof Failure && failure.code === 'precondition_failed')) throw failure;
    const said = `the agent ${id} was changed after it was read, and stays as it is; look again with --dry-run`;
    throw new Failure(1, said, { cause: failure, code: failure.code });
  }
}
