FROM busybox
ENV B=1 A=2 C="three words" PATH=/x:$PATH
ENV A=3 D=$A E=${A:-no} F=${nothing:-default}
ENV G='$A' H="\$A" I=a\ b J=
ENV LEGACY some text $A  here
ENV B=${B}1
RUN env | sort > /env
