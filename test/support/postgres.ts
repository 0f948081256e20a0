export * from '../../scripts/postgres.js';
