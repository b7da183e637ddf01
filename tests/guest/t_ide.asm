; SPDX-License-Identifier: GPL-2.0-or-later
; A disk on the primary IDE channel and a CD-ROM drive on the secondary, by PIO, bus master and packets. ATA/ATAPI-7; bus master
; programming interface 1.0. Needs a whole machine and its media: tests/system/test_ide.py makes them: each dword of a disk's sector
; is its number, each dword of a CD's block its number plus 1000h.
%define TEST_NAME "t_ide"
%include "lib.inc"

%define DISK	0x1f0
%define CD	0x170
%define IRQ14	0x2e
%define BM	0xc000
%define IDE_BDF 0x80000900
%define SECTORS 2048
%define BLOCKS	64

%define BSY 0x80
%define DRQ 0x08
%define ERR 0x01

	section .bss
	alignb 65536
buf:	resb 65536
buf2:	resb 8192
	alignb 8
prd:	resd 8
irqs:	resd 1

	section .data
packet:	times 12 db 0

	section .text

%macro OUTB 2
	mov dx, %1
	mov al, %2
	out dx, al
%endmacro

%macro INB 1
	mov dx, %1
	xor eax, eax
	in al, dx
%endmacro

; CHECK_PORT port, expected
%macro CHECK_PORT 2
	INB %1
	CHECK_EQ eax, %2
%endmacro

; PRD_SET index, address, bytes, flags (high word)
%macro PRD_SET 4
	mov dword [prd + 8 * %1], %2
	mov dword [prd + 8 * %1 + 4], (%3) | (%4) << 16
%endmacro

; FILLED address, bytes, value: all dwords are that
%macro FILLED 3
	mov edi, %1
	mov ecx, (%2) / 4
	mov eax, %3
	repe scasd
	CHECK_EQ ecx, 0
	CHECK_EQ dword [edi - 4], %3
%endmacro

test_main:
	call resets
	call identify
	call pio
	call multiple
	call chs
	call errors
	call interrupt
	call bus_master
	call dma
	call cd_identify
	call cd_ready
	call cd_read
	call cd_sense
	ret

; Until the disk is not busy; ends with eax: status
disk_wait:
	mov dx, DISK + 0x206
	jmp wait_idle
cd_wait:
	mov dx, CD + 0x206
wait_idle:
	mov ecx, 10000000
.again:	xor eax, eax
	in al, dx
	test al, BSY
	jz .end
	loop .again
	CHECK_EQ ecx, -1	; it hangs
.end:	ret

; DISK_CMD command, lba, count
%macro DISK_CMD 3
	mov ebx, %2
	mov ecx, %3
	mov esi, %1
	call disk_command
%endmacro
disk_command:
	mov dx, DISK + 2
	mov al, cl
	out dx, al
	inc edx
	mov al, bl
	out dx, al
	inc edx
	mov al, bh
	out dx, al
	inc edx
	shr ebx, 16
	mov al, bl
	out dx, al
	inc edx
	mov al, bh
	or al, 0xe0
	out dx, al
	inc edx
	mov eax, esi
	out dx, al
	ret

; ---- the disk ----

resets:	OUTB DISK + 6, 0xa0	; firmware may leave unit 1 selected, whose status is 0 even while the channel resets
	OUTB DISK + 0x206, 0x06	; SRST, without interrupts
	OUTB DISK + 0x206, 0x02
	call disk_wait
	OUTB CD + 6, 0xa0
	OUTB CD + 0x206, 0x06
	OUTB CD + 0x206, 0x02
	call cd_wait
	ONLY_HERE .absent	; QEMU's come some time after BSY
	CHECK_PORT DISK + 1, 1
	CHECK_PORT DISK + 2, 1
	CHECK_PORT DISK + 4, 0
	CHECK_PORT DISK + 5, 0
	CHECK_PORT CD + 4, 0x14
	CHECK_PORT CD + 5, 0xeb
.absent:			; unit 1
	OUTB DISK + 6, 0xb0
	CHECK_PORT DISK + 7, 0
	OUTB DISK + 6, 0xa0
	ret

identify:
	DISK_CMD 0xec, 0, 0
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov edi, buf
	mov ecx, 128
	rep insd
	call disk_wait
	CHECK_EQ eax, 0x50
	CHECK_EQ dword [buf + 120], SECTORS
	CHECK_EQ dword [buf + 200], SECTORS
	movzx eax, word [buf + 6]
	CHECK_EQ eax, 16
	ret

pio:	DISK_CMD 0x20, 5, 2
	call disk_wait
	mov dx, DISK
	mov edi, buf
	mov ecx, 256
	rep insw
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov ecx, 255		; the last word by itself
	rep insw
	in ax, dx
	stosw
	call disk_wait
	CHECK_EQ eax, 0x50
	FILLED buf, 512, 5
	FILLED buf + 512, 512, 6
	; write, and read what was written
	mov edi, buf
	mov eax, 0x12345678
	mov ecx, 128
	rep stosd
	DISK_CMD 0x30, 100, 1
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov esi, buf
	mov ecx, 256
	rep outsw
	call disk_wait
	CHECK_EQ eax, 0x50
	DISK_CMD 0xe7, 0, 0
	call disk_wait
	CHECK_EQ eax, 0x50
	DISK_CMD 0x20, 99, 3
	mov edi, buf
	mov ebp, 3
.sector:
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov ecx, 128
	rep insd
	dec ebp
	jnz .sector
	FILLED buf, 512, 99
	FILLED buf + 512, 512, 0x12345678
	FILLED buf + 1024, 512, 101
	ret

multiple:
	DISK_CMD 0xc6, 0, 4
	call disk_wait
	CHECK_EQ eax, 0x50
	DISK_CMD 0xc4, 300, 6	; a block of 4, and one of 2
	mov edi, buf
	call disk_wait
	mov dx, DISK
	mov ecx, 4 * 128
	rep insd
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov ecx, 2 * 128
	rep insd
	call disk_wait
	CHECK_EQ eax, 0x50
	FILLED buf, 512, 300
	FILLED buf + 5 * 512, 512, 305
	ret

chs:	OUTB DISK + 2, 1
	OUTB DISK + 3, 7	; 1/2/7
	OUTB DISK + 4, 1
	OUTB DISK + 5, 0
	OUTB DISK + 6, 0xa2
	OUTB DISK + 7, 0x20
	call disk_wait
	CHECK_EQ eax, 0x58
	mov dx, DISK
	mov edi, buf
	mov ecx, 128
	rep insd
	FILLED buf, 512, (1 * 16 + 2) * 63 + 6
	ret

errors:	DISK_CMD 0x20, SECTORS, 1
	call disk_wait
	or eax, 0x10		; DSC
	CHECK_EQ eax, 0x51
	ONLY_HERE .unknown
	CHECK_PORT DISK + 1, 0x10	; IDNF
.unknown:
	DISK_CMD 0xff, 0, 0
	call disk_wait
	or eax, 0x10		; DSC
	CHECK_EQ eax, 0x51
	CHECK_PORT DISK + 1, 0x04	; ABRT
	ret

hook:	cmp dword [exc_vec], IRQ14
	jne .end
	inc dword [irqs]
	INB DISK + 7
.end:	mov al, 0x20
	out 0xa0, al
	out 0x20, al
	ret

interrupt:
	OUTB 0x20, 0x11
	OUTB 0x21, 0x20
	OUTB 0x21, 0x04
	OUTB 0x21, 0x01
	OUTB 0xa0, 0x11
	OUTB 0xa1, 0x28
	OUTB 0xa1, 0x02
	OUTB 0xa1, 0x01
	OUTB 0x21, 0xfb		; the cascade
	OUTB 0xa1, 0xbf		; IRQ 14
	INB DISK + 7
	OUTB DISK + 0x206, 0
	mov dword [exc_hook], hook
	DISK_CMD 0x20, 9, 1
	sti
	hlt			; asleep until the data are there
	cli
	CHECK_EQ dword [irqs], 1
	CHECK_PORT DISK + 0x206, 0x58
	mov dx, DISK
	mov edi, buf
	mov ecx, 128
	rep insd
	FILLED buf, 512, 9
	ret

; ---- bus master ----

%macro PCI_OUT 2		; offset, value
	mov eax, IDE_BDF | (%1)
	mov dx, 0xcf8
	out dx, eax
	mov dx, 0xcfc
	mov eax, %2
	out dx, eax
%endmacro

bus_master:
	PCI_OUT 0x20, BM
	PCI_OUT 0x04, 5
	mov eax, IDE_BDF | 8
	mov dx, 0xcf8
	out dx, eax
	mov dx, 0xcfc
	in eax, dx
	shr eax, 8
	CHECK_EQ eax, 0x010180
	ret

%macro BM_START 2		; base, direction: 8 to memory, 0 from it
	mov dx, %1 + 4
	mov eax, prd
	out dx, eax
	OUTB %1 + 2, 6
	OUTB %1, %2
	OUTB %1, %2 + 1
%endmacro

; Sleeps until IRQ 14, then checks the bus master's status and stops it
%macro DMA_ENDS 1		; status
	sti
	hlt
	cli
	CHECK_PORT BM + 2, %1
	OUTB BM, 0
	CHECK_PORT DISK + 0x206, 0x50
%endmacro

dma:	mov dword [irqs], 0
	PRD_SET 0, buf + 0x1000, 512, 0
	PRD_SET 1, buf + 0x2000, 1024, 0x8000
	DISK_CMD 0xc8, 700, 3
	BM_START BM, 8
	DMA_ENDS 4
	CHECK_EQ dword [irqs], 1
	FILLED buf + 0x1000, 512, 700
	FILLED buf + 0x2000, 512, 701
	FILLED buf + 0x2200, 512, 702
	; write out of a table that is longer than that
	mov edi, buf
	mov eax, 0xfeedbee5
	mov ecx, 2048
	rep stosd
	PRD_SET 0, buf, 8192, 0x8000
	DISK_CMD 0xca, 800, 8
	BM_START BM, 0
	DMA_ENDS 5
	DISK_CMD 0xc8, 799, 10
	PRD_SET 0, buf + 0x4000, 5120, 0x8000
	BM_START BM, 8
	DMA_ENDS 4
	FILLED buf + 0x4000, 512, 799
	FILLED buf + 0x4200, 8 * 512, 0xfeedbee5
	FILLED buf + 0x5200, 512, 808
	CHECK_EQ dword [irqs], 3
	; a table that is too short: neither active nor interrupt
	ONLY_HERE .end
	PRD_SET 0, buf, 512, 0x8000
	DISK_CMD 0xc8, 0, 2
	BM_START BM, 8
	call disk_wait
	CHECK_EQ eax, 0x58
	CHECK_PORT BM + 2, 0
	OUTB BM, 0
	; memory that does not exist
	OUTB DISK + 0x206, 4
	OUTB DISK + 0x206, 0
	call disk_wait
	PRD_SET 0, 0xe0000000, 512, 0x8000
	DISK_CMD 0xc8, 0, 1
	BM_START BM, 8
	call disk_wait
	CHECK_PORT BM + 2, 2
	OUTB BM, 0
	OUTB DISK + 0x206, 4
	OUTB DISK + 0x206, 0
	call disk_wait
	CHECK_EQ dword [irqs], 3
.end:	ret

; ---- the CD ----

; PACKET features, limit, byte 0, bytes 1-4 as a dword, 5-8, 9-11 zero
%macro PACKET 5
	mov byte [packet], %3
	mov dword [packet + 1], %4
	mov dword [packet + 5], %5
	mov ebx, (%1) | (%2) << 8
	call packet_send
%endmacro
packet_send:
	OUTB CD + 6, 0xa0
	OUTB CD + 1, bl
	OUTB CD + 4, bh
	shr ebx, 16
	OUTB CD + 5, bl
	OUTB CD + 7, 0xa0
	call cd_wait
	test al, DRQ
	setnz al
	CHECK_EQ eax, 1
	CHECK_PORT CD + 2, 1
	mov dx, CD
	mov esi, packet
	mov ecx, 6
	rep outsw
	ret

; The end of a packet: ZF if it went well
packet_end:
	call cd_wait
	push eax
	and eax, DRQ
	CHECK_EQ eax, 0
	CHECK_PORT CD + 2, 3
	pop eax
	test al, ERR
	ret

; A block of data: ecx bytes to edi
packet_data:
	push ecx
	call cd_wait
	and eax, DRQ
	CHECK_EQ eax, DRQ
	CHECK_PORT CD + 2, 2
	mov dx, CD + 4
	in al, dx
	mov ah, al
	inc edx
	in al, dx
	xchg al, ah
	movzx eax, ax
	pop ecx
	CHECK_EQ eax, ecx
	shr ecx, 1
	mov dx, CD
	rep insw
	ret

cd_identify:
	OUTB CD + 6, 0xa0
	OUTB CD + 7, 0xa1
	call cd_wait
	CHECK_EQ eax, 0x58
	mov dx, CD
	mov edi, buf
	mov ecx, 256
	rep insw
	movzx eax, word [buf]
	and eax, 0xdf83
	CHECK_EQ eax, 0x8580
	OUTB CD + 7, 0xec	; a disk's: refused
	call cd_wait
	and eax, ERR
	CHECK_EQ eax, ERR
	CHECK_PORT CD + 4, 0x14
	ret

; The first commands may report that the power came on
cd_ready:
	mov ebp, 8
.again:	PACKET 0, 0xfffe, 0, 0, 0
	call packet_end
	jz .good
	PACKET 0, 0xfffe, 3, 18 << 24, 0
	mov edi, buf
	mov ecx, 18
	call packet_data
	call packet_end
	dec ebp
	jnz .again
	CHECK_EQ ebp, 1
.good:	ret

cd_read:
	PACKET 0, 0xfffe, 0x25, 0, 0
	mov edi, buf
	mov ecx, 8
	call packet_data
	call packet_end
	mov eax, [buf]
	bswap eax
	CHECK_EQ eax, BLOCKS - 1
	; three blocks from 17 on, one at a time
	PACKET 0, 2048, 0x28, 0, 0x03000011
	mov edi, buf
	mov ebp, 3
.block:	mov ecx, 2048
	call packet_data
	dec ebp
	jnz .block
	call packet_end
	FILLED buf, 2048, 0x1011
	FILLED buf + 4096, 2048, 0x1013
	; two by bus master, which sees the interrupt
	OUTB CD + 0x206, 0
	PRD_SET 0, buf + 0x8000, 4096, 0x8000
	PACKET 1, 0, 0x28, 0, 0x02000020
	BM_START BM + 8, 8
	call packet_end
	CHECK_PORT BM + 10, 4
	OUTB BM + 8, 0
	FILLED buf + 0x8000, 2048, 0x1020
	FILLED buf + 0x8800, 2048, 0x1021
	ret

cd_sense:
	PACKET 0, 2048, 0x28, 0, 0x01000000 | BLOCKS
	call packet_end
	setnz al
	movzx eax, al
	CHECK_EQ eax, 1
	INB CD + 1
	shr eax, 4
	CHECK_EQ eax, 5
	PACKET 0, 0xfffe, 3, 18 << 24, 0
	mov edi, buf
	mov ecx, 18
	call packet_data
	call packet_end
	movzx eax, byte [buf + 2]
	CHECK_EQ eax, 5
	movzx eax, byte [buf + 12]
	CHECK_EQ eax, 0x21
	ret
