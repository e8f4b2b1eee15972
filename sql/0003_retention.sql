-- What an agent calls to remove its own old data (--retention). An agent's role may not delete
-- anything itself; the owner of the schema can let it call these. An hour less than the day that is
-- the least retention, since clocks differ.

CREATE FUNCTION prune_host_history(host uuid, of_day date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  start   timestamptz := (of_day::text || ' 00:00+00')::timestamptz;
  removed bigint;
BEGIN
  IF start > now() - interval '47 hours' THEN
    RAISE EXCEPTION 'history of % is too young to be removed', of_day USING ERRCODE = 'invalid_parameter_value';
  END IF;
  DELETE FROM flow_history h WHERE h.host_id = host AND h.bucket >= start AND h.bucket < start + interval '1 day';
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF to_regclass('flow_days') IS NOT NULL THEN
    EXECUTE 'DELETE FROM flow_days d WHERE d.host_id = $1 AND d.day = $2' USING host, of_day;
  END IF;
  RETURN removed;
END $$;

COMMENT ON FUNCTION prune_host_history(uuid, date) IS 'Removes what one host wrote of a UTC day that ended about a day ago or earlier; returns how many rows of flow_history. Partitions stay.';

CREATE FUNCTION prune_host(host uuid, before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  step    bigint;
  removed bigint := 0;
BEGIN
  IF before > now() - interval '23 hours' THEN
    RAISE EXCEPTION '% is too young to be removed', before USING ERRCODE = 'invalid_parameter_value';
  END IF;
  DELETE FROM flows f WHERE f.host_id = host AND f.last_seen < before;
  GET DIAGNOSTICS step = ROW_COUNT;
  removed := removed + step;
  DELETE FROM passive_nodes n WHERE n.host_id = host AND n.last_seen < before;
  GET DIAGNOSTICS step = ROW_COUNT;
  removed := removed + step;
  -- A running agent takes the processes it wrote once to be there.
  DELETE FROM processes p
  WHERE p.host_id = host AND p.last_seen < before
    AND NOT EXISTS (SELECT 1 FROM flows f WHERE f.host_id = host AND f.process_id = p.process_id)
    AND NOT EXISTS (SELECT 1 FROM passive_nodes n WHERE n.host_id = host AND n.process_id = p.process_id)
    AND NOT EXISTS (SELECT 1 FROM coverage c WHERE c.host_id = host AND c.to_time >= before
      AND to_timestamp(c.epoch / 1000.0) <= p.last_seen);
  GET DIAGNOSTICS step = ROW_COUNT;
  removed := removed + step;
  DELETE FROM containers k
  WHERE k.host_id = host AND k.last_seen < before
    AND NOT EXISTS (SELECT 1 FROM processes p WHERE p.host_id = host AND p.container_id = k.container_id);
  GET DIAGNOSTICS step = ROW_COUNT;
  removed := removed + step;
  DELETE FROM host_addresses a WHERE a.host_id = host AND a.last_seen < before;
  GET DIAGNOSTICS step = ROW_COUNT;
  removed := removed + step;
  DELETE FROM coverage c WHERE c.host_id = host AND c.to_time < before;
  GET DIAGNOSTICS step = ROW_COUNT;
  RETURN removed + step;
END $$;

COMMENT ON FUNCTION prune_host(uuid, timestamptz) IS 'Removes what one host last saw before a time about a day ago or earlier, history apart; returns how many rows.';
