-- The document's orders_partitioned with its four partitions, as they stand there. It takes the columns, checks,
-- defaults and indexes of orders as 0025 made them.
CREATE TABLE orders_partitioned (LIKE orders INCLUDING ALL) PARTITION BY HASH (user_id);

CREATE TABLE orders_p0 PARTITION OF orders_partitioned FOR VALUES WITH (modulus 4, remainder 0);
CREATE TABLE orders_p1 PARTITION OF orders_partitioned FOR VALUES WITH (modulus 4, remainder 1);
CREATE TABLE orders_p2 PARTITION OF orders_partitioned FOR VALUES WITH (modulus 4, remainder 2);
CREATE TABLE orders_p3 PARTITION OF orders_partitioned FOR VALUES WITH (modulus 4, remainder 3);
