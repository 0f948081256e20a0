import type { AskedTool, Question } from '../policy/index.js';
import { type Json, type JsonObject, nestAct } from '../protocol/index.js';

/** AuthZEN 1.0 evaluation of one tool, in the shape of COAZ-MCP: subject, action, resource and context of `tools/call`. */
export const evaluationOf = (question: Question, tool: AskedTool): JsonObject => ({
  ...whoAndWhat(question),
  ...about(question, tool),
});

/** AuthZEN 1.0 evaluations: all the tools in one request, each answered for itself and in this order. */
export const evaluationsOf = (question: Question): JsonObject => ({
  ...whoAndWhat(question),
  evaluations: question.tools.map((tool) => about(question, tool)),
  options: { evaluations_semantic: 'execute_all' },
});

function whoAndWhat({ person, actors }: Question): JsonObject {
  const act = nestAct(actors);
  return {
    subject: {
      type: 'identity',
      id: person.id,
      properties: { ...(act === undefined ? {} : { act: plain(act) }), attributes: person.attributes },
    },
    action: { name: 'tools/call' },
  };
}

function about(question: Question, tool: AskedTool): JsonObject {
  const { action, data, tier, argumentsSha256, arguments: args } = tool;
  const { agent, transaction, task, purpose, acr, authTime } = question;
  return {
    resource: {
      type: 'tool',
      id: tool.name,
      // Also here, because not every point looks at the context: Cerbos 0.51 leaves it out.
      properties: present({ server: question.resource, action, data, tier, arguments: args }),
    },
    context: present({
      agent,
      client_id: agent,
      txn: transaction,
      task,
      purpose,
      acr,
      auth_time: authTime,
      args_sha256: argumentsSha256,
      arguments: args,
      // Obligations profile: we can do none, so a point need not impose any.
      supported_obligations: [],
    }),
  };
}

const present = (members: Readonly<Record<string, Json | undefined>>): JsonObject =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, value]): [string, Json][] => (value === undefined ? [] : [[name, value]])),
  );

const plain = (act: NonNullable<ReturnType<typeof nestAct>>): JsonObject =>
  present({
    sub: act.sub,
    iss: act.iss,
    sub_profile: act.sub_profile,
    act: act.act === undefined ? undefined : plain(act.act),
  });
