"""The bootstrap server: certificate authority, accounts, enrolment and introduction of peers."""
