-- Ours: CHECKs of JSON that let NULL pass whatever SQLite reads the file. Today json_valid(NULL) is NULL, which a CHECK
-- lets pass; in older versions (3.40 of Debian 12) it is 0, and `PRAGMA integrity_check` and UPDATEs by hand fail there.
--
-- Only the words of CHECKs change and no row does, so the text of the tables is edited in place, as SQLite's page on
-- ALTER TABLE describes. To make them anew would copy every row, and their DROP would cascade to millions more.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(replace(replace(sql,
        'CHECK (json_valid(risk_parameters))', 'CHECK (risk_parameters IS NULL OR json_valid(risk_parameters))'),
        'CHECK (json_valid(symbols))', 'CHECK (symbols IS NULL OR json_valid(symbols))'),
        'CHECK (json_valid(timeframes))', 'CHECK (timeframes IS NULL OR json_valid(timeframes))')
WHERE type = 'table' AND name = 'strategies';

UPDATE sqlite_schema
SET sql = replace(replace(sql,
        'TEXT CHECK (json_valid(parameters))', 'TEXT CHECK (parameters IS NULL OR json_valid(parameters))'),
        'CHECK (json_valid(rules))', 'CHECK (rules IS NULL OR json_valid(rules))')
WHERE type = 'table' AND name = 'backtests';

UPDATE sqlite_schema
SET sql = replace(sql, 'CHECK (json_valid(metrics))', 'CHECK (metrics IS NULL OR json_valid(metrics))')
WHERE type = 'table' AND name = 'backtest_results';

-- This connection reads the tables again, and cannot edit them any more.
PRAGMA writable_schema = RESET;

-- Whatever raises the schema's version makes the other open connections read it again; the PRAGMA that sets it takes no
-- expression.
CREATE VIEW _schema_version_raised AS SELECT 1;
DROP VIEW _schema_version_raised;
