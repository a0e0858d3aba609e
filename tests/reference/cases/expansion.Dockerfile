FROM busybox
ENV V=/usr/local/lib.tar.gz E=
LABEL a=${V#*/} b=${V##*/} c=${V%.*} d=${V%%.*} e=${V/l/L} f=${V//l/L}
LABEL g=${V:+set} h=${E:+set} i=${E+set} j=${E:-empty} k=${E-empty} l=${N-unset} m=${N:+x}
LABEL n="${V}x" o='${V}' p=$V$E$V q=\$V r="a\"b" s=${N:-${V}}
WORKDIR ${V%/*}
