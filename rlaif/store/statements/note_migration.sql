INSERT INTO migrations VALUES ($version, $name);
