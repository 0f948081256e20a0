/** Faults of scripts/mutation-sql.mjs that change nothing that can be seen, each with the reason. */
export const equivalent = {};
