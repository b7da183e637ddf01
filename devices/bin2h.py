#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bin2h.py INPUT OUTPUT NAME: a binary file as a C array."""
import sys

data = open(sys.argv[1], 'rb').read()
with open(sys.argv[2], 'w') as out:
    out.write('/* made by bin2h.py */\nstatic const unsigned char %s[%d] = {\n' % (sys.argv[3], len(data)))
    for i in range(0, len(data), 16):
        out.write('\t' + ' '.join('0x%02x,' % b for b in data[i:i + 16]) + '\n')
    out.write('};\n')
