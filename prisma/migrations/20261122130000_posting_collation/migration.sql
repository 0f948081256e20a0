-- Ranges of these keys are ranges of their bytes, whatever language the database was made for.
ALTER TABLE "log_posting" ALTER COLUMN "key" TYPE TEXT COLLATE "C";
