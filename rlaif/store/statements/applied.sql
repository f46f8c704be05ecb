SELECT segment, "offset", crc, tallies, library FROM applied ORDER BY segment DESC, "offset" DESC, rowid DESC LIMIT 1;
