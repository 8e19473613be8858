"""Mails of accounts: `texts` in English and German, `render` makes a message, `sender` brings it out.

Which mail is due for what does not belong here: commands put them into the table `mails`.
"""
