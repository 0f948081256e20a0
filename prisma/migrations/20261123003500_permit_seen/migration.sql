-- AlterTable
ALTER TABLE "log_leaf" ADD COLUMN "seen" BIGINT;
