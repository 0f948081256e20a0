-- The webhook of the log is configured, like every other address that Writ calls by itself
DROP TABLE "log_webhook";
