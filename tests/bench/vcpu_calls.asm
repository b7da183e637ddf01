; SPDX-License-Identifier: GPL-2.0-or-later
; For vcpu_mips -calls: calls and returns, and little else. EAX says which, for ever.
	bits 32
	org 0x10000

%define SITES 64

start:	cmp eax, 1
	je many

; 0: fib(20), called by itself
.again:	mov eax, 20
	call fib
	jmp .again

fib:	cmp eax, 2
	jb .done
	push ebx
	push esi
	mov ebx, eax
	lea eax, [eax-1]
	call fib
	mov esi, eax
	lea eax, [ebx-2]
	call fib
	add eax, esi
	pop esi
	pop ebx
.done:	ret

; 1: a function that many others call, each of them by chance
many:	mov ecx, 0x12345678
.again:
%assign i 0
%rep SITES
	call random
	test cl, 1 << (i & 7)
	jz .not%[i]
	call middle%[i]
.not%[i]:
	call leaf
%assign i i+1
%endrep
	jmp .again

%assign i 0
%rep SITES
middle%[i]:
	test cl, 2 << (i & 3)
	jz .skip
	call leaf
.skip:	call leaf
	ret
%assign i i+1
%endrep

leaf:	add ebx, ecx
	ret

; xorshift
random:	mov edx, ecx
	shl edx, 13
	xor ecx, edx
	mov edx, ecx
	shr edx, 17
	xor ecx, edx
	mov edx, ecx
	shl edx, 5
	xor ecx, edx
	ret
