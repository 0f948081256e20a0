-- AlterTable
ALTER TABLE "budget_hold" ADD COLUMN     "returned" INTEGER NOT NULL DEFAULT 0;

-- INVARIANT: no reservation returns more than once
ALTER TABLE "budget_hold" ADD CONSTRAINT "budget_hold_returned_check" CHECK ("returned" >= 0 AND "returned" <= "uses");
