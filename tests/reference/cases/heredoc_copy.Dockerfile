FROM busybox
ARG V=value
COPY <<one.txt <<"two.txt" a.txt /dir/
one $V ${V} \$V 'q'
one.txt
two $V
two.txt
COPY <<-EOT /tabs
	tabbed
		twice
	EOT
COPY --chown=3:4 --chmod=711 <<EOT /bin/script
#!/bin/sh
EOT
COPY <<EOT /into/
x
EOT
ADD <<EOT /added
added
EOT
COPY <<EOT /empty
EOT
