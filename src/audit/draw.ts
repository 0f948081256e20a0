import type { Trace, TraceEvent } from './trace.js';

type Step = Readonly<{ label: string; under: readonly Step[] }>;

/** The delegation as a tree of steps: person, agents, targets, tools, and what was decided and came of it. */
function treeOf({ person, chains }: Trace): Step {
  const under = chains.map(({ agents, target, calls }) => {
    const tools = calls.map(({ tool, outcome, events }) => ({
      label: tool === null ? 'no tool named' : `tool ${tool}`,
      under: [...events.map(lineOf), ...(outcome === null ? [] : MISSING[outcome])].map((label) => ({
        label,
        under: [],
      })),
    }));
    const place: Step = { label: target === null ? 'nowhere' : `at ${target}`, under: tools };
    return agents.reduceRight((inner, agent) => ({ label: `agent ${agent}`, under: [inner] }), place);
  });
  return { label: person === null ? 'nobody that is known' : `person ${person}`, under: joined(under) };
}

/** What is said in place of an outcome. */
const MISSING = {
  reported: [],
  none_so_far: ['no outcome so far'],
  none_expected: ['no outcome, and none is expected: this server does not report'],
} as const;

/** Chains that begin alike are one branch as far as they do. */
function joined(steps: readonly Step[]): readonly Step[] {
  const byLabel = new Map<string, Step[]>();
  for (const step of steps) byLabel.set(step.label, [...(byLabel.get(step.label) ?? []), ...step.under]);
  return [...byLabel].map(([label, under]) => ({
    label,
    under: label.startsWith('tool ') || label === 'no tool named' ? under : joined(under),
  }));
}

function lineOf({ at, what, decision, reason, detail, approval }: TraceEvent): string {
  const said =
    what === 'outcome' ? (detail ?? reason) : `${decision}: ${reason}${detail === null ? '' : ` (${detail})`}`;
  return `${at}  ${what}  ${said}${approval === null ? '' : `  approval ${approval}`}`;
}

/** As text. Whatever could steer a terminal or turn the text around is spelled out (AU-01). */
export function drawText(trace: Trace): string {
  const head = `transaction ${trace.txn}, ${String(trace.records)} records${trace.complete ? '' : ' and more'}`;
  const pruned = trace.pruned_before === null ? [] : [`what was written before ${trace.pruned_before} was removed`];
  return [head, ...pruned, ...linesOf(treeOf(trace), '', '')].map(plain).join('\n');
}

function linesOf({ label, under }: Step, first: string, rest: string): readonly string[] {
  return [
    `${first}${label}`,
    ...under.flatMap((step, i) =>
      i === under.length - 1 ? linesOf(step, `${rest}└─ `, `${rest}   `) : linesOf(step, `${rest}├─ `, `${rest}│  `),
    ),
  ];
}

const plain = (text: string): string => text.replace(STEERING, (character) => `\\u${hexOf(character)}`);

const STEERING = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const hexOf = (character: string): string => character.charCodeAt(0).toString(16).padStart(4, '0');

/** As a Mermaid flowchart. A label is text in quotes in which nothing but plain characters stands for itself (AU-01). */
export function drawMermaid(trace: Trace): string {
  const lines = ['flowchart LR'];
  const draw = ({ label, under }: Step): string => {
    const name = `n${String(lines.length)}`;
    lines.push(`  ${name}["${quoted(label)}"]`);
    for (const step of under) lines.push(`  ${name} --> ${draw(step)}`);
    return name;
  };
  draw(treeOf(trace));
  return lines.join('\n');
}

const quoted = (label: string): string =>
  plain(label).replace(/[^A-Za-z0-9 _.,:/-]/gu, (character) => `#${String(character.codePointAt(0) ?? 0)};`);
