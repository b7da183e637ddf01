#!/bin/sh
# The init of the demo's and the tests' guest: a shell with job control on the serial console. When it ends, power off.
export PATH=/bin HOME=/root PS1='dejavm# ' TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "dejavm guest: $(uname -sr) up"
cd /root || exit
setsid cttyhack sh
echo "shell ended, powering off"
poweroff -f
