export * from '../../scripts/demo/company.js';
