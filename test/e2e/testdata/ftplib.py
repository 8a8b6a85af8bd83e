"""Uploads, lists and downloads twice in one session of Python's ftplib.

ftplib.py MODE HOST USER PASSWORD DIRECTORY UPLOAD DOWNLOAD... LISTING TIMEOUT
"""

import ftplib
import os
import socket
import sys

mode, host, user, password, directory, upload, first, second, listing, timeout = sys.argv[1:]

ftp = ftplib.FTP(timeout=float(timeout))
ftp.trust_server_pasv_ipv4_address = True  # else it ignores the address in 227
ftp.connect(host, 21)
ftp.login(user, password)
ftp.set_pasv(mode in ("PASV", "EPSV"))
# Left alone it uses the extended commands for IPv6 only.
if mode == "EPSV":
    ftp.af = socket.AF_INET6
if mode == "EPRT":
    ftp.sendport = ftp.sendeprt
ftp.cwd(directory)
for target in (first, second):
    with open(target, "wb") as f:
        ftp.retrbinary("RETR big", f.write)
with open(upload, "rb") as f:
    ftp.storbinary("STOR " + os.path.basename(upload), f)
with open(listing, "w") as f:
    ftp.retrlines("LIST", lambda line: print(line, file=f))
ftp.quit()
