-- Who can reach a role, and which grants were made one by one: a page at a time, however many there are.
CREATE INDEX grants_by_role ON grants (account_id, role_name);
CREATE INDEX grants_by_origin ON grants (origin, id);
