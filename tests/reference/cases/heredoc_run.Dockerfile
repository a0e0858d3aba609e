FROM busybox
ARG V=value
RUN <<EOT
echo "$V" > /v
echo 'quoted $V' >> /v
EOT
RUN <<'EOT'
echo "$V" > /w
EOT
RUN <<-EOT
	echo tabs > /tabs
		echo more >> /tabs
EOT
RUN <<EOT cat > /cat && echo after >> /cat
in cat $V
EOT
RUN cat <<A <<B > /both
first
A
second
B
RUN <<EOT
#!/bin/busybox sh
echo "$0 $V" > /shebang
EOT
