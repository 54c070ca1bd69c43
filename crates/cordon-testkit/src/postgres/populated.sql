CREATE ROLE cordon LOGIN PASSWORD 'reads-only';
DO $$ BEGIN
  FOR i IN 0..4999 LOOP
    EXECUTE format('CREATE ROLE u%s LOGIN %s %s %s %s', to_char(i, 'FM0000'),
      CASE WHEN i % 10 = 3 THEN 'NOINHERIT' ELSE '' END,
      CASE WHEN i % 100 = 7 THEN 'CONNECTION LIMIT 0' ELSE '' END,
      CASE WHEN i % 10 = 0 THEN 'VALID UNTIL ''2031-01-01 00:00:00+00''' ELSE '' END,
      CASE WHEN i < 5 THEN 'CREATEROLE' ELSE '' END);
  END LOOP;
  FOR i IN 0..499 LOOP
    EXECUTE format('CREATE ROLE g%s', to_char(i, 'FM000'));
  END LOOP;
END $$;
DO $$ DECLARE members text; BEGIN
  FOR g IN 0..499 LOOP
    SELECT string_agg('u' || to_char(i, 'FM0000'), ', ') INTO members
    FROM generate_series(0, 4999) i, generate_series(0, 7) k WHERE (i * 7 + k * 61) % 500 = g;
    EXECUTE format('GRANT g%s TO %s', to_char(g, 'FM000'), members);
  END LOOP;
  FOR i IN 0..4999 BY 50 LOOP
    EXECUTE format('GRANT g%s TO u%s WITH ADMIN OPTION',
      to_char(i * 7 % 500, 'FM000'), to_char(i, 'FM0000'));
  END LOOP;
END $$;
