-- Mails that were opened, as far as their pixels were loaded; is_bot marks loading by machines.
-- like: beacons
-- contact_id: The contact that the mail was for, as of now; NULL: nobody known, no consent to know, or a bot.
-- proxy: Mail provider that loaded it for the reader: gmail, yahoo or apple; NULL: none.
SELECT * EXCLUDE (was_anonymous, identified_by), props->>'proxy' AS proxy FROM beacons WHERE protocol = 'open'
