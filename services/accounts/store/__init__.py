"""The only SQL of accounts, by subject: people, companies, sessions, links and mails, throttles."""
