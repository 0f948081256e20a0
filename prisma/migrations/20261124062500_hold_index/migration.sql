-- DropIndex: by itself, since every commit of an exchange waits for this lock.
DROP INDEX "budget_hold_expires_at_idx";
