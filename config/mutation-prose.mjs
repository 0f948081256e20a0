// Sentences in thrown errors are for a reader, not for code: no test pins their words, so to change them is no fault.
// What a client is told is asserted as a whole body, and stays mutated.
import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';

/** Errors, and the helpers of a file that make one of a sentence. */
const THROWN = new Set(['Error', 'Fault', 'unavailable']);

const isText = ({ node }) => node.type === 'StringLiteral' || node.type === 'TemplateLiteral';
const isSentence = (node) =>
  node.type === 'TemplateLiteral' || (node.type === 'StringLiteral' && node.value.includes(' '));

const prose = {
  shouldIgnore(path) {
    if (!isText(path) || !isSentence(path.node)) return undefined;
    const around = path.parentPath?.node;
    const isThrown = THROWN.has(around?.callee?.name);
    return isThrown ? 'the sentence of a thrown error' : undefined;
  },
};

export const strykerPlugins = [declareValuePlugin(PluginKind.Ignore, 'prose', prose)];
