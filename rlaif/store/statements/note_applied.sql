INSERT INTO applied VALUES ($segment, $offset, $crc, $tallies, $library);
